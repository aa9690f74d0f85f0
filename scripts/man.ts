/** Refreshes the manual page, stud.8. */
import { writeFileSync } from "node:fs";
import { manPage } from "./man_page.ts";

writeFileSync(new URL("../stud.8", import.meta.url), manPage());
