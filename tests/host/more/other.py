import pyhost


@pyhost.export(direct=True)
def same_directly(value):
    return value
