"""The wallet's admin API: `/admin/v1`, behind a token, described by OpenAPI 3.1."""
