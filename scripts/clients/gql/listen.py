"""Python's gql, resuming after each loss of the connection:

    python listen.py HTTP_URL WS_URL CHAT_ID

Prints {"next": message} for each message. A line of input completes the
subscription, the end of the input ends the program. gql fetches the schema
over HTTP and over each socket, and validates its documents by it.
"""

import asyncio
import json
import random
import sys

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportConnectionFailed, TransportProtocolError
from gql.transport.websockets import WebsocketsTransport

http_url, ws_url, chat_id = sys.argv[1:]


async def new_messages(newest):
    seen = {newest}
    attempts = 0
    while True:
        socket = WebsocketsTransport(ws_url, ping_interval=120, pong_timeout=10)
        try:
            async with Client(transport=socket, fetch_schema_from_transport=True) as session:
                subscription = gql("""subscription NewMessage($chatId: ID!, $after: ID) {
                  newMessage(chatId: $chatId, after: $after) { id content senderName }
                }""")
                subscription.variable_values = {"chatId": chat_id, "after": newest}
                async for result in session.subscribe(subscription):
                    message = result["newMessage"]
                    attempts = 0
                    newest = max(newest, message["id"])
                    if message["id"] not in seen:
                        seen.add(message["id"])
                        yield message
        except (TransportConnectionFailed, asyncio.TimeoutError):
            pass  # the network, or API Gateway's cut
        except TransportProtocolError as error:
            if "'retry': True" not in str(error):  # what the server's connection_error says
                raise
        await asyncio.sleep(random.uniform(0.5, 1) * 2 ** min(attempts, 5))
        attempts += 1


async def history():
    http = AIOHTTPTransport(http_url)
    async with Client(transport=http, fetch_schema_from_transport=True) as session:
        query = gql("query ($chatId: ID!) { getNewMessages(chatId: $chatId) { id } }")
        query.variable_values = {"chatId": chat_id}
        return (await session.execute(query))["getNewMessages"]


async def listen():
    messages = await history()
    newest = messages[-1]["id"] if messages else "0" * 26
    async for message in new_messages(newest):
        print(json.dumps({"next": message}, separators=(",", ":")), flush=True)


async def main():
    listening = asyncio.create_task(listen())
    line = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait({listening, line}, return_when=asyncio.FIRST_COMPLETED)
    if listening.done():
        listening.result()  # raises what ended it
    listening.cancel()
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
