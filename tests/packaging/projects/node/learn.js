// A user's script: learns from the library at an address or a path, and prints what came of it.

import { LoraLoom } from "loraloom";
import { learned } from "../learn-and-answer.js";

console.log(JSON.stringify(await learned(process.argv[2], LoraLoom)));
