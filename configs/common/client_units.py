"""What an application's work is made of, whichever store it goes to: writes, and how an attempt can end."""


class Made:
    """In a unit's values: the key that the database makes for write number `index` of the same unit."""

    def __init__(self, index):
        self.index = index


class Refused(Exception):
    """The fence of a side that is not primary."""
    kind = "refused"


class Retry(Exception):
    """The attempt came to nothing, for a reason that passes."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Broken(Exception):
    """The attempt came to nothing, and would again."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Lost(Exception):
    """COMMIT was sent; whether it happened is unknown."""
    kind = "commit-unknown"


def write(do, table, key, **more):
    """One write of a unit, in the journal's own form. by="database": a foreign key's action, which no store runs."""
    return {"do": do, "table": table, "key": key, **more}


def resolved(values, made):
    """The values with every Made replaced by the key it stands for."""
    return {c: made[str(v.index)] if isinstance(v, Made) else v for c, v in values.items()}
