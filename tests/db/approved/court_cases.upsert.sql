IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

-- @P1 NVARCHAR(max)
SELECT ocms_court_case.notice_no, ocms_court_case.court_payment_due_date
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_court_case ON ocms_court_case.notice_no = (asked.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_court_case.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(8)
-- @P3 NVARCHAR(max)
UPDATE ocms_court_case SET court_payment_due_date=given.court_payment_due_date, upd_date=@P1, upd_user_id=@P2 FROM ocms_court_case, (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', court_payment_due_date DATETIME2(6) '$[1]')) AS given WHERE ocms_court_case.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_court_case.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(8)
-- @P3 NVARCHAR(max)
INSERT INTO ocms_court_case (notice_no, court_payment_due_date, cre_date, cre_user_id) SELECT given.notice_no, given.court_payment_due_date, @P1 AS cre_date, @P2 AS cre_user_id
FROM (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', court_payment_due_date DATETIME2(6) '$[1]')) AS given
WHERE NOT (EXISTS (SELECT *
FROM ocms_court_case
WHERE ocms_court_case.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_court_case.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50))));

COMMIT;
