/** Refreshes src/admin/page/bundle.ts, the live page's files as strings. */
import { writeFileSync } from "node:fs";
import { pageBundle } from "./page_bundle.ts";

writeFileSync(new URL("../src/admin/page/bundle.ts", import.meta.url), await pageBundle());
