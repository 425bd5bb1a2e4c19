-- @P1 NVARCHAR(max)
SELECT ocms_valid_offence_notice.notice_no, ocms_valid_offence_notice.suspension_type, ocms_valid_offence_notice.atoms_flag, ocms_valid_offence_notice.last_processing_date, ocms_valid_offence_notice.next_processing_stage, ocms_valid_offence_notice.amount_payable, ocms_valid_offence_notice.epr_reason_of_suspension, ocms_offence_notice_detail.notice_no AS has_detail, ocms_offence_notice_detail.last_eburar_update, ocms_offence_notice_detail.payment_allowance_flag
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_valid_offence_notice WITH (UPDLOCK) ON ocms_valid_offence_notice.notice_no = (asked.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_valid_offence_notice.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50)) LEFT OUTER JOIN ocms_offence_notice_detail WITH (UPDLOCK) ON ocms_offence_notice_detail.notice_no = (asked.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_offence_notice_detail.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));

IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
UPDATE ocms_valid_offence_notice SET last_processing_date=given.last_processing_date, next_processing_stage=given.next_processing_stage, suspension_type=given.suspension_type, epr_reason_of_suspension=given.epr_reason_of_suspension, amount_payable=given.amount_payable, atoms_flag=given.atoms_flag, upd_date=@P1, upd_user_id=@P2 FROM ocms_valid_offence_notice, (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$.notice_no', suspension_type VARCHAR(50) '$.suspension_type', atoms_flag VARCHAR(50) '$.atoms_flag', last_processing_date DATETIME2(6) '$.last_processing_date', next_processing_stage VARCHAR(50) '$.next_processing_stage', amount_payable NUMERIC(10, 2) '$.amount_payable', epr_reason_of_suspension VARCHAR(50) '$.epr_reason_of_suspension')) AS given WHERE ocms_valid_offence_notice.notice_no = (given.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_valid_offence_notice.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
INSERT INTO ocms_offence_notice_detail (notice_no, last_eburar_update, payment_allowance_flag, cre_date, cre_user_id) SELECT given.notice_no, given.last_eburar_update, given.payment_allowance_flag, @P1 AS cre_date, @P2 AS cre_user_id
FROM (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$.notice_no', last_eburar_update VARCHAR(50) '$.last_eburar_update', payment_allowance_flag VARCHAR(50) '$.payment_allowance_flag')) AS given;

COMMIT;
