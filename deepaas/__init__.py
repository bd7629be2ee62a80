"""deepaas: a REST API in front of a machine learning model."""
