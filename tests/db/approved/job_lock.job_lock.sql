-- @P1 NVARCHAR(50)
SET NOCOUNT ON;
DECLARE @granted INT;
EXEC @granted = sp_getapplock @Resource = @P1, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;
SET NOCOUNT OFF;
SELECT @granted;

COMMIT;
