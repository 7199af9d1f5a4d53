"""The wallet (CLIENT side): players' money, moved by signed callbacks exactly once."""
