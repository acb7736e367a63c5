"""Texts that tokenizers disagree about."""

TRICKY = (
    "", " ", "  ", "\n\n\n", " \n \t x", "12345 6 78,901.25 1234567",
    "don't DON'T I'll it'S o'clock they'RE",
    "Ångström ﬁ naïve cafe\u0301 ÀÉÎ", "日本語テキスト 한국어 中文 русский العربية עברית ไทย हिन्दी",
    "👩‍👩‍👧 🎉🎉 \u200b zero", "a\u00a0b\u3000c\u2028d\x85e", "½ ² ٣٤ Ⅷ 七",
    "\u017f'\u017f \u212a'\u212a", "\x01\x7f",
    "def f(x):\n\treturn x**2  # ok\n\n\n\n    if a:\r\n        b()\r\n", "!!!???... (a)[b]{c}",
    "x = {'a': [1,2,3], \"b\": None}; y+=1", "HTTPServerURL camelCase snake_case kebab-case ÀBcÉ",
    "    leading and trailing    ", "e\u0301\u0301\u0301", "https://x.org/a?b=c&d#e",
    "$5+3<=8>^~|`@%&*",
)  # fmt: skip
