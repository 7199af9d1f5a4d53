-- Money at risk.

-- name: debts
-- A scan: an index on balances would make every bet's update dearer.
SELECT currency, count(*) AS accounts, (-sum(balance))::text AS owed
FROM account
WHERE balance < 0
GROUP BY currency
ORDER BY currency
