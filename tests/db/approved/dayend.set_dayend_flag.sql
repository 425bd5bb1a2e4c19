-- @P1 DATETIME2(7)
SELECT ocms_dayend.dayend_flag
FROM ocms_dayend WITH (REPEATABLEREAD)
WHERE ocms_dayend.business_date = @P1;

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(2)
INSERT INTO ocms_dayend (business_date, dayend_flag) VALUES (@P1, @P2);

COMMIT;
