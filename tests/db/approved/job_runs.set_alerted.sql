-- @P1 DATETIME2(7)
-- @P2 INT4
UPDATE ocms_job_run SET alerted=@P1 WHERE ocms_job_run.run_id = @P2;

COMMIT;
