"""The common stack, for comparison: the same callbacks on FastAPI, pydantic and SQLAlchemy.

Written as a careful team would write it at first: a transaction per request, the signature over the raw
body, the account locked FOR UPDATE, the operator's id under a unique key, the answer after the COMMIT, two
uvicorn workers with uvloop and httptools. It has no double entry, limits, tombstones or altered copies, so
the comparison flatters it.

Run by `benchmarks/wallet.py` under uvicorn, with DATABASE_URL and SECRET in the
environment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from datetime import UTC, datetime
from decimal import Decimal

from fastapi import FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import ForeignKey, Numeric, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["SECRET"].encode()
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(String(128), unique=True)
    currency: Mapped[str] = mapped_column(String(8))
    balance: Mapped[Decimal] = mapped_column(Numeric(20, 2))


class Entry(Base):
    __tablename__ = "entry"
    transaction_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    own_id: Mapped[str] = mapped_column(String(36), unique=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    action: Mapped[str] = mapped_column(String(8))
    amount: Mapped[Decimal] = mapped_column(Numeric(20, 2))
    error: Mapped[str | None] = mapped_column(String(32))
    target: Mapped[str | None] = mapped_column(String(128))
    undone: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class Callback(BaseModel):
    transaction_id: str
    action: str
    user_id: str
    currency: str
    amount: Decimal
    rollback_transaction_id: str | None = None


def answer(entry: Entry) -> dict[str, str | None]:
    if entry.error:
        return {"error": entry.error}
    return {"error": None, "transaction_id": entry.own_id}


async def read_signed(request: Request) -> Callback | None:
    raw = await request.body()
    expected = hmac.new(SECRET, raw, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-security-hash", "")):
        return None
    return Callback.model_validate_json(raw)


async def apply(session: AsyncSession, asked: Callback) -> Entry:
    known = await session.get(Entry, asked.transaction_id)
    if known is not None:
        return known
    account = await session.scalar(select(Account).where(Account.user_id == asked.user_id).with_for_update())
    if account is None:
        return Entry(error="USER_NOT_FOUND")
    entry = Entry(
        transaction_id=asked.transaction_id,
        own_id=str(uuid.uuid4()),
        account_id=account.id,
        action=asked.action,
        amount=asked.amount,
        target=asked.rollback_transaction_id,
        error=None,
        undone=False,
        created_at=datetime.now(UTC).replace(tzinfo=None),
    )
    if asked.action == "bet":
        if account.balance < asked.amount:
            entry.error = "INSUFFICENT_FUNDS"
        else:
            account.balance -= asked.amount
    elif asked.action == "result":
        account.balance += asked.amount
    elif asked.rollback_transaction_id is not None:
        target = await session.get(Entry, asked.rollback_transaction_id)
        if target is not None and not target.undone and target.error is None:
            account.balance += target.amount if target.action == "bet" else -target.amount
            target.undone = True
    session.add(entry)
    return entry


@app.post("/callbacks/{operator}/transaction")
@app.post("/callbacks/{operator}/transaction-rollback")
async def callback(operator: str, request: Request) -> dict[str, str | None]:
    asked = await read_signed(request)
    if asked is None:
        return {"error": "INVALID_SIGNATURE"}
    for _ in range(2):
        try:
            async with sessions() as session, session.begin():
                entry = await apply(session, asked)
            return answer(entry)
        except IntegrityError:
            continue
    return {"error": "INTERNAL_ERROR"}
