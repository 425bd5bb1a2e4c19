"""`ocms spec verify`, against deployments that do not conform."""

from starlette.responses import JSONResponse, RedirectResponse

from contract.document import Contract
from contract.verify import verify


class LoginPage:
    """A deployment that redirects each call to a page, which responds with 200."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.asked.append((scope["path"], b"x-api-key" in dict(scope["headers"])))
            page = JSONResponse({"data": []}) if scope["path"] == "/login" else RedirectResponse("/login", 302)
            await page(scope, receive, send)


def test_a_redirect_does_not_conform_and_carries_no_key_to_its_target(serve):
    deployment = LoginPage()
    assert verify(Contract.load("ocms"), serve(deployment), {"PLUS": "a-key"}) == 1
    assert ("/v1/getNoticeUpdate", True) in deployment.asked
    assert ("/login", True) not in deployment.asked
