import { behaviours } from "../behaviours/index.ts";
import { target } from "../support/target.ts";

behaviours(target("dist-stud-deno"));
