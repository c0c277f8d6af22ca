"""A small OpenID Connect provider on loopback: real HTTP, signed tokens, PKCE."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID: Final = "imagebase"
CLIENT_SECRET: Final = "secret-of-the-client"
_ALGORITHM: Final = "RS256"
_ACCESS_SECONDS: Final = 600


class Provider:
    """claims: of the person who logs in next, beside those that every token has."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self._key = RSAKey.generate_key(2048, parameters={"kid": "one"})
        self._grants: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def metadata_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def metadata(self) -> dict[str, Any]:
        """Return what OpenID Connect Discovery asks for."""
        paths = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "jwks",
            "end_session_endpoint": "logout",
        }
        return {
            "issuer": self.issuer,
            **{name: f"{self.issuer}/{path}" for name, path in paths.items()},
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
        }

    def grant(self, asked: dict[str, str]) -> str:
        """Let the person in, and return where their browser goes with the code."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_hex(16)
        self._grants[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return f"{asked['redirect_uri']}?{answer}"

    def token(self, asked: dict[str, str], authorization: str) -> dict[str, Any]:
        """Return the tokens for a code, which counts once."""
        client = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        assert client == f"{CLIENT_ID}:{CLIENT_SECRET}"
        granted = self._grants.pop(asked["code"])
        digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert challenge == granted["code_challenge"]
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + _ACCESS_SECONDS,
            "nonce": granted["nonce"],
            **self.claims,
        }
        header = {"alg": _ALGORITHM, "kid": "one"}
        return {
            "access_token": secrets.token_hex(16),
            "token_type": "Bearer",
            "expires_in": _ACCESS_SECONDS,
            "id_token": jwt.encode(header, claims, self._key),
        }

    def keys(self) -> dict[str, Any]:
        """Return the public keys."""
        return {"keys": [self._key.as_dict(private=False)]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                asked = {name: one[0] for name, one in parse_qs(url.query).items()}
                if url.path == "/authorize":
                    self._go(provider.grant(asked))
                elif url.path == "/logout":
                    self._go(asked["post_logout_redirect_uri"])
                elif url.path == "/jwks":
                    self._answer(provider.keys())
                else:
                    self._answer(provider.metadata())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked = {name: one[0] for name, one in parse_qs(body).items()}
                self._answer(provider.token(asked, self.headers["Authorization"]))

            def _go(self, address: str) -> None:
                self.send_response(302)
                self.send_header("Location", address)
                self.end_headers()

            def _answer(self, document: dict[str, Any]) -> None:
                content = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
