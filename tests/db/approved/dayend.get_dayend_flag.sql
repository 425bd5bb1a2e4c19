-- @P1 DATETIME2(7)
SELECT ocms_dayend.dayend_flag
FROM ocms_dayend WITH (REPEATABLEREAD)
WHERE ocms_dayend.business_date = @P1;
