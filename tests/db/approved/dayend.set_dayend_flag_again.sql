-- @P1 DATETIME2(7)
SELECT ocms_dayend.dayend_flag
FROM ocms_dayend WITH (REPEATABLEREAD)
WHERE ocms_dayend.business_date = @P1;

-- @P1 VARCHAR(2)
-- @P2 DATETIME2(7)
UPDATE ocms_dayend SET dayend_flag=@P1 WHERE ocms_dayend.business_date = @P2;

COMMIT;
