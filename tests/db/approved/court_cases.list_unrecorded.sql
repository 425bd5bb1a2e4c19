-- @P1 NVARCHAR(max)
SELECT ocms_court_case.notice_no, ocms_court_case.court_payment_due_date
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_court_case ON ocms_court_case.notice_no = (asked.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_court_case.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));
