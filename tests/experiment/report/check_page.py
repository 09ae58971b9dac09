"""Checks that a page is well-formed, loads nothing and runs its one script alone. Usage: check_page.py FILE"""
import base64
import hashlib
import re
import sys
import xml.etree.ElementTree as xml

text = open(sys.argv[1], encoding="utf-8").read()
assert text.startswith("<!DOCTYPE html>"), "no doctype"
page = xml.fromstring(text)

def local(name):
    return name.rsplit("}", 1)[-1]

ids, scripts = [], []
for element in page.iter():
    tag = local(element.tag)
    if tag == "script":
        scripts.append(element.text)
        assert not element.attrib and "fetch" not in element.text and "http" not in element.text, "a script loads something"
    assert tag not in ("iframe", "link", "object", "embed", "base", "foreignObject", "b-hostile"), tag
    for name, value in element.attrib.items():
        name = local(name)
        assert not name.startswith("on"), name
        assert name not in ("srcset", "action", "data", "poster"), name
        if name == "src":
            assert tag == "img" and value.startswith("data:image/svg+xml;base64,") and element.get("alt"), tag
            picture = base64.b64decode(value.partition(",")[2], validate=True).decode()
            assert "url(http" not in picture and "<script" not in picture, "a picture loads or runs something"
            xml.fromstring(picture)
        if name == "href":
            assert value.startswith("#"), value
        if name == "id":
            ids.append(value)
        assert "url(" not in value, value
    if tag == "style":
        assert "url(" not in element.text and "@import" not in element.text, "style loads something"
assert len(ids) == len(set(ids)), "an id is there twice"
for element in page.iter():
    for name, value in element.attrib.items():
        if local(name) == "href":
            assert value[1:] in ids, value
meta = [element.attrib for element in page.iter() if local(element.tag) == "meta"]
assert any("default-src 'none'" in each.get("content", "") for each in meta), "no content security policy"
digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
policy = next(each["content"] for each in meta if "default-src" in each.get("content", ""))
assert len(scripts) == 1 and policy.endswith(f"script-src 'sha256-{digest}'"), "the policy is not the script's"
assert any("width=device-width" in each.get("content", "") for each in meta), "no viewport"
assert len(list(page.iter("h1"))) == 1 and page.find("head/title").text
assert re.search(r"prefers-color-scheme: *dark", text)
print("good")
