raise ImportError("as asked")
