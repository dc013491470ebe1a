"""What a password may be. NIST 800-63B and ASVS: long enough, not among those tried first, and no rules on its letters."""

import unicodedata

SHORTEST, LONGEST = 8, 200
_TRIED_FIRST = """
00000000 11111111 111111111 1111111111 11223344 12121212 12341234 12344321 123123123 12345678 123456789 1234567890
1234567891 12345678910 12345679 123454321 123456abc 123456qwerty 1234qwer 12qwaszx 147258369 159753456 1q2w3e4r 1q2w3e4r5t
1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 20202020 22222222 55555555 66666666 77777777 87654321 88888888 987654321 9876543210 99999999
a1234567 a12345678 a123456789 aa123456 aa12345678 abc12345 abc123456 abcd1234 abcdefgh admin123 admin1234 administrator
alexander asdasdasd asdf1234 asdfasdf asdfghjk asdfghjkl asdfghjkl1 azertyuiop babygirl1 baseball baseball1 basketball batman123
blink182 bubbles1 butterfly charlie1 changeme changeme1 changeit chocolate computer computer1 consumer corvette dragon123
elephant einstein fantasia football football1 fuckyou1 godzilla guest123 hello123 helloworld iloveyou iloveyou1 iloveyou2
internet jennifer jessica1 jordan23 kingkong letmein1 letmein123 liverpool liverpool1 lovelove magic123 marlboro master123
maverick mercedes metallic michael1 michelle midnight missedbeat missedbeat1 monkey123 mustang1 naruto123 newpassword nicole123
nintendo omgpop00 p@ssw0rd p@ssword pa55word pass1234 passw0rd password password! password0 password1 password01 password1!
password11 password12 password123 password1234 password12345 password2 password3 passwort passwort1 pokemon1 princess princess1
q1w2e3r4 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedc qwer1234 qwerasdf qwert123 qwert1234 qwerty12 qwerty123 qwerty1234 qwerty12345
qwertyui qwertyuiop qwertyuiop1 qwertz123 rockyou1 root1234 samantha scorpion secret123 shadow12 snowball spiderman starwars
sunshine sunshine1 superman superman1 test1234 test12345 testtest trustno1 trustno1! victoria welcome1 welcome123 whatever
whatever1 x1234567 xxxxxxxx yankees1 yellow123 zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123
"""
COMMONEST = frozenset(_TRIED_FIRST.split())


def normal(password: str) -> str:
    """The same password however the keyboard composes its letters. What is far too long to be one stays cut: composing takes the
    square of its length, and holds up the whole process meanwhile."""
    return unicodedata.normalize("NFKC", password[: 4 * LONGEST])


def problem(password: str, email: str) -> str:
    """What is wrong with a new password, in words for its owner; empty where nothing is."""
    text, address = normal(password), email.strip().lower()
    if len(text) < SHORTEST:
        return f"use at least {SHORTEST} characters"
    if len(password) > LONGEST or len(text) > LONGEST:
        return f"use at most {LONGEST} characters"
    if text.lower() in (address, address.partition("@")[0]):
        return "this is your address: choose something else"
    if text.lower() in COMMONEST or len(set(text)) < 3:
        return "this is one of the passwords that are tried first: choose another"
    return ""
