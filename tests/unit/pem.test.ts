import { test } from "node:test";
import assert from "node:assert/strict";
import { derOf, derToPem, pemBytes, pemSections, pemText } from "../../src/base/pem.ts";

const body = "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsu";
const section = `-----BEGIN X-----\n${body}\n-----END X-----\n`;

test("sections are found between other text, with any line ends", () => {
  const texts = [
    section,
    section.replaceAll("\n", "\r\n"),
    section.trimEnd(),
    `words\n-----BEGIN X----- words\n------BEGIN X-----\n${section}words`,
    section.replace("-----\n", "----- \t\n\n").replace(`${body}\n`, `${body}\n\n`),
  ];
  for (const text of texts) {
    for (const input of [text, Buffer.from(text)]) {
      const [found, ...others] = pemSections(input);
      assert.equal(found!.label, "X");
      assert.deepEqual(others, []);
      assert.equal(pemText(found!), section);
      assert.equal(pemBytes(found!).toString(), section);
      assert.equal(derOf(found!).toString(), "Many hands make light work.");
    }
  }
  assert.deepEqual(pemSections(""), []);
  const labels = pemSections(`${section}${section.replaceAll("X", "X509 CRL")}`);
  assert.deepEqual(labels.map(({ label }) => label), ["X", "X509 CRL"]);
});

test("a section without an end is an error that names its label", () => {
  const cut =
    /^a X section has no END line: the file is truncated; replace it with the complete file$/;
  for (const text of [section.slice(0, 30), section.slice(0, 30) + "\n" + section]) {
    assert.throws(() => pemSections(text), { message: cut });
  }
});

test("DER of every length becomes PEM and DER again", () => {
  for (let length = 0; length < 200; length++) {
    const der = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + length * 13) & 0xff));
    const pem = derToPem("X", der);
    assert.ok(pem.split("\n").every((line) => line.length <= 64), pem);
    assert.equal(Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64").compare(der), 0);
    if (length > 0) assert.deepEqual(derOf(pemSections(pem)[0]!), der);
  }
});
