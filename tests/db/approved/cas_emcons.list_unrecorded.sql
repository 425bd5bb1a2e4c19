-- @P1 NVARCHAR(max)
SELECT ocms_cas_emcons.notice_no, ocms_cas_emcons.emcons_flag
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_cas_emcons ON ocms_cas_emcons.notice_no = (asked.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));
