class APIError(Exception):
    pass


class NotFound(Exception):
    pass
