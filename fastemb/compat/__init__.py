"""Drop-ins for other libraries' modules: their names and their answers, this library's speed.

``fastemb.compat.tiktoken``, ``fastemb.compat.tokenizers`` and ``fastemb.compat.sentencepiece`` take the place of the
packages of these names where one import is changed. Nothing here is loaded by ``import fastemb``, and none of the
packages has to be installed.
"""
