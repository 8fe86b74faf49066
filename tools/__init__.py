"""Programs beside the service, neither deployed nor part of the local stack: keys, OpenAPI, costs, licences."""
