"""A farm's HTTP service.

serve               the socket, the server, being ready, stopping
app                 the service: routes put together, errors as responses
routes/             what a farmer answers to
refusals            errors as answers
openapi             the interface, as tools read it
auth                who asks, and whether this request was meant for us
socket_reader       the bytes of a body, straight into the buffer that they are kept in
connection          limits on a connection, and connection_limits on all of them together
"""
