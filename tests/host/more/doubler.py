import pyhost


@pyhost.export
def double(number):
    return 2 * number
