"""The Sportsbook API on the wire: messages, answers, codes, signatures, strict JSON, profiles."""
