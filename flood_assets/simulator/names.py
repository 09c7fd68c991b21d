"""Name the rivers, catchments, counties and towns of the simulated country: England's, each river with its own towns.

The simulated rivers are not the real ones, but each rises near the one that it is named after, and the Thames has its
real course: the names that people know, and that the examples use, are there. `geography` makes the courses.
"""

# ruff: noqa: E501 - one river a line

from typing import NamedTuple

# The one river with its real course, from longitude and latitude of the source to those of the mouth, straightened.
THAMES = (-2.03, 51.69), (0.55, 51.46)
# Its station that the examples use: name, number of its public page, and share of the way from the source to the mouth.
KINGSTON, KINGSTON_PAGE, KINGSTON_SHARE = "Kingston", 7267, 0.66


class River(NamedTuple):
    """Names of a river, the longitude and latitude of a point halfway along it, and its towns from the source to the mouth."""

    name: str
    catchment: str
    county: str
    long: float
    lat: float
    towns: list[str]


def rivers() -> list[River]:
    """Return all known rivers, the Thames first."""
    return [_river(*line.split("|")) for line in _RIVERS.strip().splitlines()]


def _river(name: str, catchment: str, county: str, middle: str, towns: str) -> River:
    long, lat = map(float, middle.split())
    return River(name, catchment, county, long, lat, towns.split(", "))


# name | catchment | county | longitude and latitude halfway along it | towns
_RIVERS = """
River Thames|Thames|Oxfordshire, Surrey, London|-0.7 51.6|Cricklade, Castle Eaton, Lechlade, Buscot, Radcot, Newbridge, Eynsham, Oxford, Osney, Sandford, Abingdon, Culham, Wallingford, Goring, Pangbourne, Reading, Sonning, Henley-on-Thames, Marlow, Maidenhead, Windsor, Staines, Chertsey, Molesey, Kingston upon Thames, Teddington, Richmond, Kew, Hammersmith, Putney, Chelsea, Westminster, Tower Pier, Silvertown, Erith, Tilbury, Gravesend
River Severn|Severn|Worcestershire|-2.4 52.4|Melverley, Montford, Shrewsbury, Buildwas, Ironbridge, Bridgnorth, Bewdley, Stourport, Worcester, Upton upon Severn, Tewkesbury, Haw Bridge, Gloucester, Minsterworth
River Trent|Trent|Nottinghamshire|-1.2 53.1|Stoke-on-Trent, Stone, Great Haywood, Yoxall, Burton upon Trent, Shardlow, Sawley, Nottingham, Gunthorpe, Newark, Torksey, Gainsborough, Keadby
River Great Ouse|Great Ouse|Cambridgeshire|-0.3 52.3|Brackley, Buckingham, Stony Stratford, Newport Pagnell, Olney, Bedford, St Neots, Huntingdon, St Ives, Ely, Littleport, Downham Market, King's Lynn
River Ouse|Ouse and Derwent|North Yorkshire|-1.1 53.9|Linton-on-Ouse, Skelton, York, Naburn, Cawood, Selby, Goole
River Nene|Nene|Northamptonshire|-0.6 52.5|Weedon, Northampton, Wellingborough, Thrapston, Oundle, Wansford, Peterborough, Wisbech, Sutton Bridge
River Tees|Tees|County Durham|-1.7 54.6|Middleton-in-Teesdale, Barnard Castle, Croft-on-Tees, Yarm, Stockton-on-Tees, Middlesbrough
River Tyne|Tyne|Northumberland|-1.9 54.97|Hexham, Corbridge, Bywell, Ovingham, Wylam, Newburn, Newcastle upon Tyne, North Shields
River Wear|Wear|County Durham|-1.7 54.75|Stanhope, Wolsingham, Bishop Auckland, Sunderland Bridge, Durham, Chester-le-Street, Sunderland
River Aire|Aire and Calder|West Yorkshire|-1.7 53.85|Gargrave, Skipton, Cononley, Keighley, Bingley, Saltaire, Kirkstall, Leeds, Castleford, Beal, Snaith
River Calder|Aire and Calder|West Yorkshire|-1.8 53.7|Todmorden, Hebden Bridge, Mytholmroyd, Sowerby Bridge, Elland, Brighouse, Mirfield, Dewsbury, Wakefield, Methley
River Don|Don and Rother|South Yorkshire|-1.3 53.5|Penistone, Oughtibridge, Sheffield, Meadowhall, Rotherham, Mexborough, Doncaster, Kirk Bramwith, Thorne
River Derwent|Derbyshire Derwent|Derbyshire|-1.55 53.1|Bamford, Hathersage, Chatsworth, Matlock, Cromford, Ambergate, Belper, Derby, Draycott
River Wharfe|Wharfe and Lower Ouse|North Yorkshire|-1.7 53.95|Kettlewell, Grassington, Bolton Abbey, Addingham, Ilkley, Otley, Pool, Wetherby, Tadcaster
River Swale|Swale, Ure, Nidd and Upper Ouse|North Yorkshire|-1.6 54.3|Muker, Reeth, Richmond in Swaledale, Catterick, Great Langton, Topcliffe, Crakehill
River Ure|Swale, Ure, Nidd and Upper Ouse|North Yorkshire|-1.7 54.2|Hawes, Bainbridge, Aysgarth, Wensley, Masham, Ripon, Boroughbridge
River Nidd|Swale, Ure, Nidd and Upper Ouse|North Yorkshire|-1.6 54.03|Pateley Bridge, Birstwith, Knaresborough, Hunsingore, Skip Bridge
River Mersey|Upper Mersey|Greater Manchester|-2.5 53.4|Stockport, Didsbury, Northenden, Sale, Urmston, Warrington, Runcorn, Liverpool
River Irwell|Irwell|Greater Manchester|-2.3 53.6|Bacup, Rawtenstall, Ramsbottom, Bury, Radcliffe, Kearsley, Salford, Manchester
River Ribble|Ribble|Lancashire|-2.4 53.9|Horton in Ribblesdale, Settle, Long Preston, Gisburn, Clitheroe, Ribchester, Samlesbury, Preston
River Lune|Lune|Lancashire|-2.6 54.2|Tebay, Sedbergh, Kirkby Lonsdale, Hornby, Caton, Halton, Lancaster, Glasson Dock
River Eden|Eden and Esk|Cumbria|-2.6 54.7|Kirkby Stephen, Appleby, Temple Sowerby, Langwathby, Lazonby, Armathwaite, Warwick Bridge, Carlisle, Rockcliffe
River Kent|Kent and Leven|Cumbria|-2.8 54.35|Kentmere, Staveley, Burneside, Kendal, Levens, Arnside
River Avon|Warwickshire Avon|Warwickshire|-1.6 52.25|Welford, Rugby, Stoneleigh, Warwick, Stratford-upon-Avon, Bidford-on-Avon, Evesham, Pershore, Bredon
Bristol Avon|Bristol Avon|Somerset|-2.3 51.4|Malmesbury, Great Somerford, Chippenham, Melksham, Bradford on Avon, Bathford, Bath, Saltford, Keynsham, Bristol
River Wye|Wye|Herefordshire|-2.8 52.0|Hay-on-Wye, Bredwardine, Hereford, Mordiford, Ross-on-Wye, Symonds Yat, Lydbrook
River Teme|Teme|Worcestershire|-2.6 52.3|Knighton, Leintwardine, Ludlow, Tenbury Wells, Knightwick, Powick
River Exe|Exe|Devon|-3.5 50.9|Exford, Dulverton, Bampton, Tiverton, Thorverton, Stoke Canon, Exeter, Topsham, Exmouth
River Taw|North Devon|Devon|-3.9 50.95|Sticklepath, Eggesford, Umberleigh, Barnstaple
River Torridge|North Devon|Devon|-4.15 50.9|Hele Bridge, Torrington, Bideford, Appledore
River Tamar|Tamar|Cornwall|-4.25 50.6|Crowford, Launceston, Gunnislake, Calstock, Saltash, Plymouth
River Dart|South Devon|Devon|-3.75 50.45|Dartmeet, Holne, Buckfastleigh, Staverton, Totnes, Dartmouth
River Fal|West Cornwall and Fal|Cornwall|-4.95 50.3|Indian Queens, Grampound, Tregony, Truro, Falmouth
River Camel|North Cornwall|Cornwall|-4.7 50.52|Camelford, Slaughterbridge, Bodmin, Wadebridge, Padstow
River Fowey|North Cornwall|Cornwall|-4.6 50.43|Trekeivesteps, Restormel, Lostwithiel, Fowey
River Cober|West Cornwall and Fal|Cornwall|-5.25 50.13|Trenear, Helston, Porthleven
River Hayle|West Cornwall and Fal|Cornwall|-5.4 50.15|Relubbus, St Erth, Hayle, Penzance, Newlyn
River Parrett|Parrett|Somerset|-2.9 51.05|Haselbury, South Petherton, Thorney, Langport, Burrowbridge, Bridgwater
River Tone|Tone|Somerset|-3.15 51.02|Greenham, Bradford-on-Tone, Bishops Hull, Taunton, Creech, Athelney
River Brue|Brue|Somerset|-2.65 51.12|Bruton, Lovington, Glastonbury, Westhay, Highbridge
River Axe|Sid and Axe|Devon|-3.0 50.78|Winsham, Chard Junction, Axminster, Whitford, Seaton
River Otter|Otter|Devon|-3.25 50.78|Honiton, Fenny Bridges, Ottery St Mary, Dotton, Budleigh Salterton
River Stour|Dorset Stour|Dorset|-2.2 50.85|Gillingham, Hammoon, Blandford Forum, Wimborne, Throop, Christchurch
River Frome|Dorset Frome|Dorset|-2.4 50.7|Maiden Newton, Dorchester, East Stoke, Wareham, Weymouth
Hampshire Avon|Hampshire Avon|Wiltshire|-1.8 51.0|Upavon, Amesbury, Salisbury, Downton, Fordingbridge, Ringwood, Knapp Mill
River Test|Test and Itchen|Hampshire|-1.5 51.05|Overton, Longparish, Stockbridge, Romsey, Redbridge, Southampton
River Itchen|Test and Itchen|Hampshire|-1.3 51.0|New Alresford, Easton, Winchester, Allbrook, Riverside Park
River Meon|East Hampshire|Hampshire|-1.15 50.9|East Meon, Warnford, Mislingford, Titchfield
River Arun|Arun and Western Streams|West Sussex|-0.5 50.97|Horsham, Pallingham, Pulborough, Amberley, Arundel, Littlehampton
River Adur|Adur and Ouse|West Sussex|-0.3 50.9|Hatterell, Henfield, Bramber, Upper Beeding, Shoreham-by-Sea
Sussex Ouse|Adur and Ouse|East Sussex|0.02 50.95|Ardingly, Lindfield, Gold Bridge, Isfield, Barcombe Mills, Lewes, Newhaven
River Cuckmere|Cuckmere and Pevensey Levels|East Sussex|0.2 50.85|Hellingly, Hailsham, Sherman Bridge, Alfriston, Eastbourne
River Rother|Rother|East Sussex|0.55 50.98|Mayfield, Etchingham, Robertsbridge, Udiam, Bodiam, Rye
River Medway|Medway|Kent|0.4 51.2|Forest Row, Colliers Land Bridge, Penshurst, Tonbridge, East Peckham, Yalding, East Farleigh, Maidstone, Allington, Rochester, Sheerness
Great Stour|Stour|Kent|1.0 51.2|Lenham, Ashford, Wye, Chartham, Canterbury, Vauxhall Bridge, Fordwich, Sandwich, Dover
River Darent|Darent|Kent|0.2 51.35|Westerham, Otford, Lullingstone, Hawley, Dartford
River Wey|Wey|Surrey|-0.6 51.2|Alton, Farnham, Tilford, Godalming, Guildford, Old Woking, Byfleet, Weybridge
River Mole|Mole|Surrey|-0.3 51.22|Gatwick, Horley, Sidlow Bridge, Dorking, Leatherhead, Cobham, Esher
River Loddon|Loddon|Hampshire|-1.0 51.35|Basingstoke, Sherfield, Swallowfield, Arborfield, Twyford
River Blackwater|Loddon|Hampshire|-0.75 51.3|Aldershot, Farnborough, Camberley, Finchampstead, Ash Bridge
River Kennet|Kennet and Pang|Berkshire|-1.4 51.42|Marlborough, Ramsbury, Knighton Ford, Hungerford, Newbury, Theale, Woolhampton
River Pang|Kennet and Pang|Berkshire|-1.2 51.47|Frilsham, Bucklebury, Tidmarsh, Bradfield
River Cherwell|Cherwell|Oxfordshire|-1.3 51.95|Cropredy, Banbury, Adderbury, Somerton, Enslow, Islip, Oxford Parks
River Windrush|Cotswolds|Oxfordshire|-1.65 51.82|Bourton-on-the-Water, Burford, Worsham, Witney, Standlake
River Evenlode|Cotswolds|Oxfordshire|-1.55 51.88|Moreton-in-Marsh, Evenlode, Shipton, Charlbury, Cassington
River Thame|Thame and South Chilterns|Buckinghamshire|-0.95 51.75|Aylesbury, Thame, Wheatley, Chiselhampton, Dorchester-on-Thames
River Ray|Upper Thames|Wiltshire|-1.8 51.58|Swindon, Rodbourne, Water Eaton, Haydon
River Colne|Colne|Hertfordshire|-0.4 51.68|London Colney, Watford, Rickmansworth, Denham, Uxbridge, Colnbrook
River Chess|Colne|Buckinghamshire|-0.55 51.69|Chesham, Latimer, Sarratt, Loudwater
River Lee|Upper Lee|Hertfordshire|-0.2 51.78|Luton, Harpenden, Wheathampstead, Hertford, Ware, Broxbourne, Enfield, Tottenham, Lea Bridge
River Stort|Upper Lee|Essex|0.12 51.82|Stansted Mountfitchet, Bishop's Stortford, Sawbridgeworth, Harlow, Roydon
River Roding|Roding, Beam and Ingrebourne|Essex|0.12 51.66|High Ongar, Abridge, Loughton, Wanstead, Redbridge Lane, Barking
River Wandle|London|London|-0.17 51.4|Carshalton, Mitcham, Colliers Wood, Wandsworth
River Brent|London|London|-0.27 51.56|Hendon, Brent Cross, Wembley, Greenford, Hanwell, Brentford
Hogsmill River|London|London|-0.28 51.38|Ewell, Tolworth, New Malden, Surbiton
River Chelmer|Combined Essex|Essex|0.45 51.78|Great Dunmow, Felsted, Chelmsford, Langford, Maldon
River Crouch|Combined Essex|Essex|0.6 51.62|Billericay, Wickford, Battlesbridge, Burnham-on-Crouch, Southend-on-Sea
River Gipping|East Suffolk|Suffolk|1.05 52.12|Stowmarket, Needham Market, Claydon, Sproughton, Ipswich
River Deben|East Suffolk|Suffolk|1.3 52.16|Debenham, Brandeston, Naunton Hall, Woodbridge, Felixstowe
River Alde|East Suffolk|Suffolk|1.48 52.2|Farnham Green, Snape, Aldeburgh, Orford
River Blyth|East Suffolk|Suffolk|1.5 52.35|Holton, Halesworth, Blythburgh, Southwold
River Waveney|Broadland Rivers|Suffolk|1.35 52.4|Diss, Billingford, Needham Mill, Bungay, Ellingham Mill, Beccles, Lowestoft
River Yare|Broadland Rivers|Norfolk|1.25 52.6|Barford, Colney, Norwich, Brundall, Reedham, Great Yarmouth
River Wensum|Broadland Rivers|Norfolk|1.0 52.75|Fakenham, Swanton Morley, Lenwade, Costessey Mill, Hellesdon
River Bure|Broadland Rivers|Norfolk|1.3 52.78|Ingworth, Aylsham, Coltishall, Wroxham, Acle
River Ant|Broadland Rivers|Norfolk|1.45 52.77|North Walsham, Honing Lock, Stalham, Ludham
River Glaven|North Norfolk|Norfolk|1.06 52.9|Hunworth, Bayfield, Glandford, Cley next the Sea, Cromer
River Stiffkey|North Norfolk|Norfolk|0.93 52.9|Little Walsingham, Warham, Stiffkey, Wells-next-the-Sea
River Nar|North West Norfolk|Norfolk|0.6 52.68|Litcham, Castle Acre, Narborough, Marham, Setchey
River Wissey|Cam and Ely Ouse|Norfolk|0.6 52.57|Necton, Northwold, Whittington, Hilgay
River Little Ouse|Cam and Ely Ouse|Norfolk|0.65 52.44|Euston, Abbey Heath, Thetford, Santon Downham, Brandon
River Lark|Cam and Ely Ouse|Suffolk|0.6 52.3|Bury St Edmunds, Temple, Isleham, Prickwillow
River Cam|Cam and Ely Ouse|Cambridgeshire|0.15 52.15|Newport, Great Chesterford, Dernford, Cambridge, Jesus Lock, Bottisham
River Rhee|Cam and Ely Ouse|Cambridgeshire|-0.02 52.1|Ashwell, Wimpole, Burnt Mill, Harston
River Ivel|Bedford Ouse|Bedfordshire|-0.28 52.08|Baldock, Stotfold, Biggleswade, Blunham
River Ouzel|Bedford Ouse|Buckinghamshire|-0.68 51.95|Leighton Buzzard, Bletchley, Willen, Eaton Bray
River Tove|Bedford Ouse|Northamptonshire|-0.95 52.1|Towcester, Cappenham Bridge, Stoke Bruerne, Cosgrove
River Welland|Welland|Lincolnshire|-0.5 52.65|Market Harborough, Ashley, Barrowden, Tixover, Stamford, Deeping St James, Crowland, Spalding
River Glen|Welland|Lincolnshire|-0.4 52.78|Little Bytham, Greatford, Kates Bridge, Surfleet
River Witham|Witham|Lincolnshire|-0.5 53.0|Colsterworth, Saltersford, Grantham, Claypole, Bassingham, Lincoln, Bardney, Langrick Bridge, Boston
River Bain|Witham|Lincolnshire|-0.15 53.2|Goulceby, Hemingby, Horncastle, Fulsby Lock
River Steeping|Witham|Lincolnshire|0.15 53.16|Partney, Halton Holegate, Wainfleet, Skegness
River Lymn|Witham|Lincolnshire|0.07 53.22|Tetford, Aswardby, Spilsby, Gunby
River Lud|Louth Grimsby and Ancholme|Lincolnshire|0.0 53.38|Hallington, Louth, Alvingham, Tetney Lock, Mablethorpe
River Ancholme|Louth Grimsby and Ancholme|Lincolnshire|-0.5 53.55|Bishopbridge, Brandy Wharf, Brigg, South Ferriby
Waithe Beck|Louth Grimsby and Ancholme|Lincolnshire|-0.08 53.46|Binbrook, Brigsley, Waithe, Cleethorpes
River Hull|Hull and East Riding|East Riding of Yorkshire|-0.35 53.9|Driffield, Wansford Lock, Hempholme, Beverley, Kingston upon Hull
Gypsey Race|Hull and East Riding|East Riding of Yorkshire|-0.35 54.1|Kirby Grindalythe, Wold Newton, Boynton, Bridlington
River Esk|Esk and Coast|North Yorkshire|-0.8 54.45|Westerdale, Danby, Egton Bridge, Sleights, Briggswath, Whitby
River Leven|Tees|North Yorkshire|-1.15 54.48|Kildale, Great Ayton, Stokesley, Leven Bridge
River Rye|Ouse and Derwent|North Yorkshire|-1.0 54.25|Broadway Foot, Helmsley, Nunnington, Ness, Ryton
River Skerne|Tees|County Durham|-1.55 54.58|Trimdon, Bradbury, Preston le Skerne, Darlington, South Park
River Coquet|Northumberland Rivers|Northumberland|-1.8 55.3|Alwinton, Rothbury, Brinkburn, Felton, Morwick, Amble
River Aln|Northumberland Rivers|Northumberland|-1.75 55.4|Whittingham, Hawkhill, Alnwick, Alnmouth
River Wansbeck|Northumberland Rivers|Northumberland|-1.75 55.16|Highford, Mitford, Morpeth, Bothal, Ashington
River Till|Till and Tweed|Northumberland|-2.05 55.6|Ilderton, Chatton, Doddington, Etal, Heaton Mill
River Rede|Tyne|Northumberland|-2.25 55.25|Byrness, Otterburn, West Woodburn, Redesmouth
North Tyne|Tyne|Northumberland|-2.35 55.1|Kielder, Tarset, Bellingham, Barrasford, Chollerford, Reaverhill
South Tyne|Tyne|Northumberland|-2.4 54.9|Alston, Featherstone, Haltwhistle, Haydon Bridge, Warden
River Irthing|Eden and Esk|Cumbria|-2.65 54.97|Gilsland, Greenholme, Brampton, Newby East
River Petteril|Eden and Esk|Cumbria|-2.83 54.8|Plumpton, Newbiggin Bridge, Harraby Green, Botcherby
River Caldew|Eden and Esk|Cumbria|-3.0 54.75|Mosedale, Sebergham, Dalston, Cummersdale, Denton Holme
River Ehen|South West Lakes|Cumbria|-3.45 54.5|Ennerdale, Bleach Green, Egremont, Braystones, Whitehaven
River Irt|South West Lakes|Cumbria|-3.35 54.4|Wasdale, Santon Bridge, Holmrook, Ravenglass
River Duddon|South West Lakes|Cumbria|-3.2 54.32|Cockley Beck, Ulpha, Duddon Hall, Broughton-in-Furness, Millom
River Crake|Kent and Leven|Cumbria|-3.07 54.28|Coniston, Torver, Low Nibthwaite, Spark Bridge, Barrow-in-Furness
River Brathay|Kent and Leven|Cumbria|-3.0 54.42|Elterwater, Skelwith Bridge, Clappersgate, Jeffy Knotts
River Rothay|Kent and Leven|Cumbria|-2.97 54.44|Grasmere, Rydal, Miller Bridge, Ambleside
River Wyre|Wyre|Lancashire|-2.8 53.88|Abbeystead, Scorton, Garstang, St Michael's on Wyre, Fleetwood
River Hodder|Ribble|Lancashire|-2.47 53.93|Slaidburn, Dunsop Bridge, Whitewell, Hodder Place
River Douglas|Douglas|Lancashire|-2.75 53.6|Wigan, Appley Bridge, Parbold, Rufford, Southport
River Darwen|Ribble|Lancashire|-2.55 53.73|Darwen, Ewood, Blackburn, Hoghton, Blue Bridge
River Alt|Alt and Crossens|Merseyside|-2.95 53.48|Huyton, Kirkby, Maghull, Formby, Crosby
River Weaver|Weaver Gowy|Cheshire|-2.5 53.15|Audlem, Nantwich, Church Minshull, Winsford, Northwich, Frodsham
River Dane|Weaver Gowy|Cheshire|-2.3 53.18|Wincle, Hug Bridge, Congleton, Rudheath
River Gowy|Weaver Gowy|Cheshire|-2.8 53.2|Bunbury, Huxley, Bridge Trafford, Picton, Stanlow
River Goyt|Upper Mersey|Derbyshire|-2.0 53.35|Whaley Bridge, New Mills, Marple Bridge, Bredbury
River Etherow|Upper Mersey|Derbyshire|-1.95 53.45|Crowden, Woolley Bridge, Broadbottom, Compstall
River Dove|Dove|Derbyshire|-1.8 53.0|Hollinsclough, Hartington, Izaak Walton, Rocester, Marston on Dove
River Churnet|Dove|Staffordshire|-1.98 53.04|Leek, Cheddleton, Froghall, Basford Bridge
River Tame|Tame, Anker and Mease|West Midlands|-1.75 52.6|Bescot, Water Orton, Lea Marston, Hopwas Bridge, Tamworth, Elford
River Sow|Staffordshire Trent Valley|Staffordshire|-2.2 52.83|Eccleshall, Great Bridgford, Stafford, Milford
River Soar|Soar|Leicestershire|-1.15 52.7|Narborough Bog, Leicester, Birstall, Barrow upon Soar, Loughborough, Zouch, Kegworth
River Wreake|Soar|Leicestershire|-0.98 52.75|Melton Mowbray, Frisby, Syston Mill, Ratcliffe Culey
River Erewash|Erewash|Derbyshire|-1.3 52.98|Pinxton, Langley Mill, Ilkeston, Stapleford, Toton
River Idle|Idle and Torne|Nottinghamshire|-0.98 53.35|Retford, Mattersey, Bawtry, Misterton, West Stockwith
River Maun|Idle and Torne|Nottinghamshire|-1.08 53.19|Mansfield, Edwinstowe, Ollerton, Haughton
River Dearne|Don and Rother|South Yorkshire|-1.4 53.56|Denby Dale, Barnsley, Darfield, Bolton upon Dearne, Adwick
River Foss|Ouse and Derwent|North Yorkshire|-1.07 54.05|Stillington, Strensall, Huntington, Foss Barrier
River Leam|Warwickshire Avon|Warwickshire|-1.4 52.28|Kites Hardwick, Eathorpe, Leamington Spa, Princes Drive Weir
River Arrow|Warwickshire Avon|Warwickshire|-1.9 52.25|Alvechurch, Redditch, Studley, Alcester, Broom
River Isbourne|Warwickshire Avon|Worcestershire|-1.93 52.02|Winchcombe, Toddington, Hinton on the Green, Hampton
River Lugg|Wye|Herefordshire|-2.8 52.25|Presteigne, Byton, Kingsland, Leominster, Lugwardine
River Roden|Shropshire Middle Severn|Shropshire|-2.65 52.82|Wem, Stanton upon Hine Heath, Shawbury, Rodington
River Tern|Shropshire Middle Severn|Shropshire|-2.55 52.78|Market Drayton, Ternhill, Eaton upon Tern, Walcot
River Perry|Shropshire Middle Severn|Shropshire|-2.9 52.83|Perry Farm, Ruyton-XI-Towns, Yeaton, Mytton
River Worfe|Shropshire Middle Severn|Shropshire|-2.35 52.58|Shifnal, Cosford, Burcote, Worfield
River Leadon|Severn Vale|Gloucestershire|-2.38 51.98|Bosbury, Ledbury, Wedderburn Bridge, Over
River Chelt|Severn Vale|Gloucestershire|-2.1 51.9|Charlton Kings, Cheltenham, Slate Mill, Boddington
River Chew|Bristol Avon|Somerset|-2.6 51.35|Chew Stoke, Stanton Drew, Compton Dando, Pensford
River Sheppey|Brue|Somerset|-2.6 51.19|Shepton Mallet, Croscombe, Fenny Castle, Wells
River Yeo|Parrett|Somerset|-2.6 50.98|Sherborne, Yeovil, Mudford, Ilchester, Pen Mill
River Piddle|Dorset Frome|Dorset|-2.3 50.75|Puddletown, Briantspuddle, Baggs Mill, West Mills
River Wylye|Hampshire Avon|Wiltshire|-2.05 51.15|Warminster, Norton Bavant, Stockton, South Newton, Wilton
River Nadder|Hampshire Avon|Wiltshire|-2.0 51.07|Tisbury, Dinton, Barford St Martin, Harnham
River Bourne|Hampshire Avon|Wiltshire|-1.72 51.13|Tidworth, Newton Tony, Idmiston, Laverstock
Lymington River|New Forest|Hampshire|-1.57 50.87|Lyndhurst, Brockenhurst, Boldre, Lymington
River Plym|Tamar|Devon|-4.05 50.43|Cadover Bridge, Bickleigh, Plym Bridge, Marsh Mills
River Tavy|Tamar|Devon|-4.12 50.55|Mary Tavy, Tavistock, Denham Bridge, Lopwell
River Teign|South Devon|Devon|-3.6 50.6|Chagford, Dunsford, Preston Manor, Newton Abbot, Teignmouth
River Creedy|Exe|Devon|-3.62 50.79|Crediton, Cowley, Newton St Cyres, Venny Tedburn
River Lyn|North Devon|Devon|-3.78 51.17|Malmsmead, Brendon, Watersmeet, Lynmouth, Ilfracombe
"""
