"""Minor units by currency code: data, kept apart from the arithmetic in `money`.

ISO 4217 (list one, active codes that have a minor unit; metals, baskets and test codes have none) and coins
with the decimals their own ledgers use. Others come from the configuration.
"""

from __future__ import annotations

from typing import Final

_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
_TWO_DECIMALS = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
    HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD
    RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
    USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""

ISO_4217: Final[dict[str, int]] = {
    **dict.fromkeys(_WITHOUT_DECIMALS.split(), 0),
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
    **dict.fromkeys(_FOUR_DECIMALS.split(), 4),
}

CRYPTO: Final[dict[str, int]] = {
    "ADA": 6,
    "BCH": 8,
    "BNB": 18,
    "BTC": 8,
    "DAI": 18,
    "DOGE": 8,
    "ETH": 18,
    "LTC": 8,
    "SOL": 9,
    "TON": 9,
    "TRX": 6,
    "USDC": 6,
    "USDT": 6,
    "XLM": 7,
    "XRP": 6,
}
