from .gate import Gate as Gate
from .roles import Door as Door
from .roles import Signer as Signer
