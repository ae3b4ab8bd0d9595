"""Word vectors trained on texts, and how good they are.

``options`` is what was asked for, checked. ``corpus`` makes texts a file of word numbers, ``chance`` the tables that
words are drawn by. Then a file a method: ``sampling`` (skip-gram and CBOW, by negative sampling), and ``glove`` with
``pairs``, which counts words that stand near each other; ``training`` goes all the way. ``questions`` evaluates.
"""
