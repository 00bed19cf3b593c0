// OpenAI's client for Node.js. Run a server, "minilm serve", and then in this folder:
// npm install --no-package-lock && node index.mjs
import OpenAI from "openai";

const texts = ["How long does a cat rest?", "Cats sleep for most of the day.", "The stock market fell on Monday."];

const client = new OpenAI({ baseURL: process.env.MINILM_URL ?? "http://localhost:8444/v1", apiKey: "any" });
const response = await client.embeddings.create({ model: "all-MiniLM-L6-v2", input: texts });
const [question, ...answers] = response.data.map((row) => row.embedding);
answers.forEach((answer, place) => {
  const cosine = answer.reduce((sum, number, at) => sum + number * question[at], 0);
  console.log(`cosine ${cosine.toFixed(3)}  ${texts[place + 1]}`);
});
console.log(`${response.usage.total_tokens} tokens`);
