"""Training of LoraLoom's demo library: data, tokenizer, base, LoRA modules, evaluation.

Data flows one way: lexicon -> skills -> prompts -> tasks -> tokenizer -> base -> modules ->
export -> registry; ``evaluate`` reads what they wrote. ``__main__`` is the one command.
"""
