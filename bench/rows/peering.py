def measure(*a):
    return []
