-- @P1 VARCHAR(22)
-- @P2 VARCHAR(10)
-- @P3 VARCHAR(40)
-- @P4 VARCHAR(18)
-- @P5 VARCHAR(12)
-- @P6 VARCHAR(12)
-- @P7 DATETIME2(7)
-- @P8 DATETIME2(7)
UPDATE ocms_job_run SET outcome=@P1, reason=@P2 WHERE ocms_job_run.job = @P3 AND ocms_job_run.outcome IN (@P4, @P5, @P6) AND (ocms_job_run.started > @P7 OR ocms_job_run.finished > @P8);

COMMIT;
