-- What the sandbox used while each turn ran.
ALTER TABLE turns ADD COLUMN cpu_ms REAL;
ALTER TABLE turns ADD COLUMN memory_peak_bytes INTEGER;
ALTER TABLE turns ADD COLUMN disk_written_bytes INTEGER;
