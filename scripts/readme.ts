/** Refreshes the table of options in README.md, between its two marks. */
import { readFileSync, writeFileSync } from "node:fs";
import { optionTable } from "../src/options/help.ts";

const file = new URL("../README.md", import.meta.url);
const marks = /(<!-- options -->\n)[^]*?(<!-- \/options -->)/;
const readme = readFileSync(file, "utf8");
if (!marks.test(readme)) {
  throw new Error("README.md has no <!-- options --> and <!-- /options -->; put them back");
}
writeFileSync(file, readme.replace(marks, (_, open, close) => `${open}${optionTable()}\n${close}`));
