"""How the lake and the server are watched: alarms of Prometheus, routes of Alertmanager, a dashboard of Grafana."""
