/** `npm run draw`: draws the machines into docs/machines. */
import { mkdirSync, writeFileSync } from "node:fs";
import { FOLDER, pictures } from "./pictures.ts";

mkdirSync(FOLDER, { recursive: true });
for (const [name, svg] of pictures()) writeFileSync(new URL(name, FOLDER), svg);
