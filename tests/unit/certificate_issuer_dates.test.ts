/** Intermediate certificates that are not valid for as long as the server's own. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { datesOf } from "../../src/certificates/certificates.ts";
import { dateProblems } from "../../src/certificates/dates.ts";
import { shortIssuers } from "../../src/certificates/issuer_dates.ts";
import { Chains } from "../support/chains.ts";

const chains = new Chains();
const DAY_MS = 86_400_000;
chains.issue("Root", { ca: true, end: 5 });
chains.issue("Upper", { ca: true, issuer: "Root", end: 10 });
chains.issue("Lower", { ca: true, issuer: "Upper", end: 200 });
chains.issue("leaf", { issuer: "Lower", end: 100 });
chains.issue("Young", { ca: true, issuer: "Root", start: 2, end: 200 });
chains.issue("early", { issuer: "Young", end: 100 });
chains.issue("Stray", { ca: true, issuer: "Root", end: 1 });

function read(...names: string[]): X509Certificate[] {
  return names.map((name) => new X509Certificate(readFileSync(chains.file(`${name}.crt`))));
}

function found(...names: string[]): string[] {
  return shortIssuers(read(...names)).map(({ name, validTo }) =>
    `${name} ${Math.ceil((validTo - Date.now()) / DAY_MS)}`
  );
}

test("intermediates that end before the leaf, or begin after it, are found in any order", () => {
  assert.deepEqual(found("leaf"), []);
  assert.deepEqual(found("leaf", "Lower"), []);
  assert.deepEqual(found("leaf", "Lower", "Upper"), ["Upper 10"]);
  assert.deepEqual(found("leaf", "Upper", "Lower", "Lower"), ["Upper 10"]);
  assert.deepEqual(found("early", "Young"), ["Young 200"]);
});

test("a root, and what issued nothing in the chain, do not count", () => {
  assert.deepEqual(found("leaf", "Lower", "Upper", "Root", "Stray"), ["Upper 10"]);
  assert.deepEqual(found("Root", "Root"), []);
});

test("an intermediate is one line, however many files have it", () => {
  const sources = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      file: { cert: `${i}.pem`, key: "" },
      chain: () => "",
      facts: {
        ...{ issuer: "", key: "", mustStaple: false, names: [`${i}.example`] },
        ...{ validFrom: 0, validTo: Date.now() + 100 * DAY_MS },
        shortIssuers: shortIssuers(read("leaf", "Lower", "Upper")),
      },
    })) as unknown as Parameters<typeof datesOf>[0];
  const lines = (count: number) => {
    return dateProblems(datesOf(sources(count)), 21, Date.now()).map(({ text }) => text);
  };
  const [line, ...others] = lines(1000);
  assert.deepEqual(others, []);
  assert.match(
    line!,
    /^0\.pem: the intermediate certificate "Upper" here and in 999 other files ends in 9 days, on .*; get the chain of the server's certificate from its CA again, then reload$/,
  );
  assert.match(lines(2)[0]!, / here and in 1 other file ends in /);
  assert.match(lines(1)[0]!, /"Upper" here ends in /);
  const [problem] = dateProblems(datesOf(sources(1)), 21, Date.now() + 11 * DAY_MS);
  assert.deepEqual([problem!.code, problem!.place, problem!.issuer], [
    ...["certificate-expired", "0.pem", "Upper"],
  ]);
  assert.match(problem!.text, / expired 24 hours ago, on .*; get the chain of /);
});
