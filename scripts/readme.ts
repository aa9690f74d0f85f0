/** Refreshes the table of options in README.md, between its two marks. */
import { optionTable } from "../src/options/help.ts";
import { replaceMarked } from "./marked.ts";

replaceMarked("README.md", "options", optionTable());
