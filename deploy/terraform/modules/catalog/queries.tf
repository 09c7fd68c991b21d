locals {
  queries = {
    warnings-in-force = {
      about = "Flood warnings in force, the severest first"
      sql   = <<-SQL
        SELECT severity_level, severity, label, county, river_or_sea, severity_changed_at, message
        FROM current_warnings
        ORDER BY severity_level, severity_changed_at DESC
      SQL
    }
    high-and-rising = {
      about = "Gauges above their typical range that are still rising"
      sql   = <<-SQL
        SELECT s.label, s.river, s.town, c.value, s.typical_high, c.rate_per_hour, c.date_time
        FROM current_conditions c
        JOIN current_stations s ON s.station_id = c.station_id
        WHERE c.band IN ('above', 'record') AND c.trend = 'rising'
        ORDER BY c.rate_per_hour DESC
      SQL
    }
    most-rain = {
      about = "The twenty gauges with the most rain of six hours"
      sql   = <<-SQL
        SELECT s.station_id, s.grid_reference, s.lat, s.long, c.rain_1h, c.rain_6h, c.rain_24h
        FROM current_conditions c
        JOIN current_stations s ON s.station_id = c.station_id
        WHERE c.rain_6h IS NOT NULL
        ORDER BY c.rain_6h DESC
        LIMIT 20
      SQL
    }
    missing-by-cause = {
      about = "Expected, received and missing readings by hour, with the cause"
      sql   = <<-SQL
        SELECT window_start, sum(expected) AS expected, sum(received) AS received,
          sum(silent) AS silent, sum(not_due) AS not_due, sum(not_fetched) AS not_fetched
        FROM completeness
        GROUP BY window_start
        ORDER BY window_start
      SQL
    }
    corrected = {
      about = "Readings whose value was corrected today"
      sql   = <<-SQL
        SELECT measure_id, date_time, previous_value, value, revision, changed_at
        FROM readings
        WHERE "date" = date_format(current_timestamp AT TIME ZONE 'UTC', '%Y-%m-%d') AND revision > 0
        ORDER BY changed_at DESC
      SQL
    }
  }
}
