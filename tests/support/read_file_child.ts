/** Reads a file twice in a process of its own, whose pipes a shell makes, and shows what came of it. */
import process from "node:process";
import { FileError, readFile } from "../../src/base/read_file.ts";

const [also, file] = process.argv.slice(2);

for (let time = 0; time < 2; time++) console.log(JSON.stringify(attempt()));

function attempt(): string {
  try {
    return readFile(file!, also === "pipe" || also === "stream" ? { also } : {}).toString();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return error.message;
  }
}
