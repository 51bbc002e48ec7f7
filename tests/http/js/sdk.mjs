// sdk.mjs: OpenAI's JavaScript client and the Vercel AI SDK, unmodified, against a server.
//
//   node sdk.mjs http://127.0.0.1:8080
//
// Prints the name of each check that held; ends with 1 at the first that did not.

import assert from 'node:assert/strict'
import OpenAI, { APIConnectionTimeoutError, BadRequestError, InternalServerError, NotFoundError } from 'openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, streamText } from 'ai'

const base = process.argv[2]
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'any', maxRetries: 0 })
const messages = [{ role: 'user', content: 'Hello' }]
const asked = { model: 'any', messages, max_tokens: 8, seed: 1 }
const provider = createOpenAICompatible({ name: 'hearth', baseURL: `${base}/v1`, includeUsage: true })

const checks = {
  async models() {
    const list = await client.models.list()
    assert.equal(list.data.length, 1)
    assert.equal(list.data[0].context_length, 256)
    await assert.rejects(client.models.retrieve('nothing'), NotFoundError)
  },

  async 'a plain answer'() {
    const answer = await client.chat.completions.create(asked)
    assert.equal(answer.choices[0].finish_reason, 'length')
    assert.equal(answer.usage.completion_tokens, 8)
    assert.equal(answer.hearth.finish.reason, 'length')
    assert.match(answer._request_id, /^req-/)
  },

  async 'a stream'() {
    const whole = (await client.chat.completions.create(asked)).choices[0].message.content
    let text = '', last
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? ''
      last = chunk
    }
    assert.equal(text, whole)
    assert.equal(last.usage.completion_tokens, 8)
  },

  async 'the stream helper'() {
    const runner = client.chat.completions.stream(asked)
    const answer = await runner.finalChatCompletion()
    assert.equal(answer.choices[0].finish_reason, 'length')
  },

  async 'several at once'() {
    const texts = await Promise.all([1, 2, 3, 4].map(async seed =>
      (await client.chat.completions.create({ ...asked, seed })).choices[0].message.content))
    assert.equal(new Set(texts).size, 4)
  },

  async 'errors are its own'() {
    for (const stream of [false, true])
      await assert.rejects(client.chat.completions.create({ ...asked, stream, temperature: 200 }), e => {
        assert.ok(e instanceof BadRequestError)
        assert.equal(e.code, 'invalid_value')
        assert.equal(e.param, 'temperature')
        return true
      })
    await assert.rejects(client.chat.completions.create({ ...asked, messages: [{ role: 'user', content: 'word '.repeat(600) }] }),
      e => e instanceof BadRequestError && e.code === 'context_length_exceeded')
    await assert.rejects(client.embeddings.create({ model: 'x', input: 'y' }), e => e instanceof InternalServerError && e.status === 501)
  },

  async 'a stream that is given up'() {
    const stream = await client.chat.completions.create({ ...asked, max_tokens: 200, stream: true, ignore_eos: true })
    for await (const chunk of stream) {
      assert.ok(chunk.id)
      break
    }
    stream.controller.abort()
    assert.ok((await client.chat.completions.create(asked)).id)
  },

  async 'a timeout'() {
    await assert.rejects(client.chat.completions.create({ ...asked, n: 2, max_tokens: 250, ignore_eos: true }, { timeout: 1 }),
      APIConnectionTimeoutError)
    assert.ok((await client.chat.completions.create(asked)).id)
  },

  async 'completions'() {
    const answer = await client.completions.create({ model: 'x', prompt: 'It was', max_tokens: 4 })
    assert.equal(answer.usage.completion_tokens, 4)
  },

  async 'AI SDK: a plain answer'() {
    const answer = await generateText({ model: provider('any'), prompt: 'Hello', maxOutputTokens: 8, seed: 1 })
    assert.equal(answer.finishReason, 'length')
    assert.equal(answer.usage.outputTokens, 8)
    assert.ok(answer.text)
  },

  async 'AI SDK: a stream'() {
    const whole = await generateText({ model: provider('any'), prompt: 'Hello', maxOutputTokens: 8, seed: 1 })
    const stream = streamText({ model: provider('any'), prompt: 'Hello', maxOutputTokens: 8, seed: 1 })
    let text = ''
    for await (const piece of stream.textStream) text += piece
    assert.equal(text, whole.text)
    assert.equal((await stream.usage).outputTokens, 8)
  },

  async 'AI SDK: an error'() {
    await assert.rejects(generateText({ model: provider('any'), prompt: 'word '.repeat(600), maxRetries: 0 }),
      e => e.statusCode === 400 && e.message.includes('maximum context length'))
  },
}

for (const [name, check] of Object.entries(checks)) {
  await check()
  console.log(name)
}
