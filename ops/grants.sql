-- What the role that `switchback` connects as needs in PostgreSQL. It needs no superuser. Run this as one, or as
-- the provider's administrator, in the application's database; replace the names in the first lines.
--   psql -d app -v role=switchback -v owner=app -f grants.sql
\set ON_ERROR_STOP on
\if :{?role} \else \set role switchback \endif
\if :{?owner} \else \set owner app \endif

-- The sidecar logs in, and reads a logical replication slot while PostgreSQL is primary. Providers name this right
-- differently: Amazon RDS: GRANT rds_replication TO …; Google Cloud SQL and Azure: ALTER ROLE … REPLICATION by their
-- administrator. Set the password by \password, never in a file.
SELECT format('CREATE ROLE %I LOGIN REPLICATION', :'role')
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN REPLICATION;

-- For the schema `switchback` and the publication.
SELECT format('GRANT CREATE, CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), :'role') \gexec

-- Fences are triggers that are enabled and disabled at each flip, and the load drops and makes indexes: PostgreSQL
-- lets only the owner of a table do that (the TRIGGER privilege is not enough). Membership in the owner counts.
GRANT :"owner" TO :"role";

-- Where switchback makes the tables itself, it must be allowed to.
GRANT USAGE, CREATE ON SCHEMA public TO :"role";

-- To see whose long transactions would hold up a flip. Without it the gate finds out by waiting.
GRANT pg_read_all_stats TO :"role";

-- pg_hba.conf must let the role in. With TLS, for example:
--   hostssl  app          switchback  10.0.0.0/8  scram-sha-256
-- (a logical slot is read over a connection to the database, so no line with the word "replication" is needed)
