import { test } from "node:test";
import assert from "node:assert/strict";
import { derOf, derToPem, headersOf, pemSections, pemText, readPem } from "../../src/base/pem.ts";

/** A SEQUENCE with the words. */
const content = "0\x1bMany hands make light work.";
const body = Buffer.from(content).toString("base64");
const section = `-----BEGIN X-----\n${body}\n-----END X-----\n`;

const BOM = "\ufeff";
const glued = section.trimEnd();

test("sections are read as files have them", () => {
  const texts = {
    plain: section,
    "CR LF": section.replaceAll("\n", "\r\n"),
    CR: section.replaceAll("\n", "\r"),
    "no final newline": glued,
    "other text around": `words\n-----BEGIN X----- words\n${section}words`,
    "blanks and empty lines": section.replace("-----\n", "----- \t\n\n").replace(/=\n/, "= \n\n"),
    "a byte order mark": BOM + section,
    "an indented text": section.replaceAll(/^/gm, "  \t"),
    "odd line lengths": section.replace(/(?<=.{7})a/, "\n a \r\n\n"),
    "END in the last line of base64": section.replace("\n-----END", "-----END"),
    "one line": section.replaceAll("\n", ""),
    "no padding": section.replace(/=+/, ""),
    "blanks in the labels": section.replaceAll("X-", "X -"),
    "text before it in its line": `last words${section}`,
    headers: section.replace("\n", "\nComment: a:b\n  folded\n\n").replace("X", "X"),
  };
  for (const [what, text] of Object.entries(texts)) {
    for (const input of [text, Buffer.from(text)]) {
      const { sections: [found, ...others] } = readPem(input);
      assert.deepEqual(others, [], what);
      assert.equal(found!.label, "X", what);
      assert.equal(derOf(found!).toString(), content, what);
      if (what === "headers") continue;
      assert.equal(pemText(found!), section, what);
    }
  }
  assert.deepEqual(readPem(""), { sections: [], strays: [] });
});

test("sections that were put together without line ends are all read, with their lines", () => {
  const other = section.replaceAll("X", "X509 CRL");
  const both = [["X", 1], ["X509 CRL", 3]];
  const texts = [glued + other, glued + BOM + other, `${glued} \t${other}`];
  for (const text of texts) {
    const { sections, strays } = readPem(text);
    assert.deepEqual(sections.map(({ label, line }) => [label, line]), both, text);
    assert.deepEqual(strays, []);
  }
  const five = readPem(`${BOM}${section}Bag Attributes\r\n${section}\r\rwords ${section}${glued}`);
  assert.deepEqual(five.sections.map(({ line }) => line), [1, 5, 10, 13]);
  assert.deepEqual(five.strays, []);
});

test("a section without an end is an error that names its line and label", () => {
  const cut =
    /^line 2: the X section has no correct END line: the file is truncated or damaged; replace/;
  const texts = [
    `\n${section.slice(0, 30)}`,
    `\n${section.slice(0, 30)}\n${section}`,
    `\n${section.slice(0, -3)}`,
    `\n${section.replace("END X", "END Y")}`,
  ];
  for (const text of texts) assert.throws(() => readPem(text), { message: cut }, text);
});

test("a section that is not base64 is an error that names the line", () => {
  const long = derToPem("X", Buffer.alloc(200, "x"));
  const texts: [string, number][] = [
    [long.replace("\n", "\n*"), 2],
    [long.replace(/\n(?=-----END)/, ":\n"), 6],
    [long.replace(/\n(?=-----END)/, "\n\u00a0\n"), 7],
    [long.replace(/(?<=\n)e/, "\0"), 2],
    [long.replace(/=*\n-----END/, "==\nAAAA\n-----END"), 7],
    [long.replace(/[^]{2}=*\n-----END/, "\n-----END"), 7],
    ["-----BEGIN X-----\n-----END X-----\n", 2],
  ];
  for (const [text, line] of texts) {
    const [found] = readPem(text).sections;
    assert.throws(
      () => derOf(found!),
      { message: new RegExp(`^line ${line}: it is not base64`) },
      text,
    );
  }
});

test("what may be a damaged section is reported with its line", () => {
  const long = derToPem("X", Buffer.alloc(200, "x"));
  const [, ...withoutBegin] = long.split("\n");
  const texts: [string, number[]][] = [
    [`${section}-${section}${section}`, [4]],
    [`${section}${long.replace("-----BEGIN", "----BEGIN")}`, [5]],
    [`${section}${withoutBegin.join("\n")}${section}`, [4]],
    [`words\n\n-----END X-----\n${section}`, [3]],
    [`# -----BEGIN X-----\n# ${body}\n# -----END X-----\n${section}`, [1]],
    [`#${section}\n${section}`, [1]],
    [`${long.replace("-----BEGIN X-----", "-----BEGIN X----")}words\n${long}`, [1]],
    ["a file starts with -----BEGIN X----- and ends with -----END X-----", [1]],
    ["deadbeef".repeat(8), []],
    [`Bag Attributes\n    localKeyID: 01 02\nsubject=CN = x\n${section}`, []],
  ];
  for (const [text, strays] of texts) assert.deepEqual(readPem(text).strays, strays, text);
});

test("UTF-16 is named, also in the middle of other text", () => {
  const message = /^it is UTF-16 text; convert it to UTF-8, as with iconv /;
  const utf16 = Buffer.from(BOM + section, "utf16le");
  for (const before of ["", section, `${section} `]) {
    for (const text of [utf16, Buffer.from(utf16).swap16(), utf16.subarray(2)]) {
      assert.throws(() => readPem(Buffer.concat([Buffer.from(before), text])), { message });
    }
  }
});

test("headers stay in front of the base64", () => {
  const text = section.replace("\n", "\r\n Proc-Type: 4,ENCRYPTED \r\nDEK-Info: A,00\r\n\r\n");
  const [found] = readPem(text).sections;
  assert.equal(headersOf(found!), "Proc-Type: 4,ENCRYPTED\nDEK-Info: A,00");
  assert.equal(
    pemText(found!),
    section.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,00\n\n"),
  );
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
