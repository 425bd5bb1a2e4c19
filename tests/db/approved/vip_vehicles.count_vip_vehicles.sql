SELECT count(*) AS count_1
FROM ocms_vip_vehicle;
