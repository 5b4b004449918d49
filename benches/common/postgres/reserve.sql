WITH taken AS (
    UPDATE stock SET available = available - $2, reserved = reserved + $2
    WHERE product = $1 AND available >= $2
    RETURNING product
), held AS (
    INSERT INTO hold (id, product, units, expires_at)
    SELECT $3, product, $2, now() + interval '1 hour' FROM taken
)
INSERT INTO audit (kind, hold, product, units) SELECT 1, $3, product, $2 FROM taken
